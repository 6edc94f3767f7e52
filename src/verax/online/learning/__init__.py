"""Learning the trade-off and the predictor through exact costs."""

from ._evaluate import PredictorReport as PredictorReport
from ._evaluate import evaluate_predictor as evaluate_predictor
from ._evaluate import mixed_cost as mixed_cost
from ._hedge import Hedge as Hedge
from ._hedge import hedge as hedge
from ._threshold import Threshold as Threshold
from ._threshold import empirical_risk_threshold as empirical_risk_threshold
from ._threshold import threshold_sample_size as threshold_sample_size
from ._trade_off import TradeOff as TradeOff
from ._trade_off import empirical_risk_trade_off as empirical_risk_trade_off
from ._trade_off import trade_off_sample_size as trade_off_sample_size
