"""Any online problem with finitely many plans and instances: minimax, best response, frontier, certificate, profile."""

from ._certificate import GameCertificate as GameCertificate
from ._game import FiniteOnlineGame as FiniteOnlineGame
from ._game import Response as Response
from ._policy import PolicyCertificate as PolicyCertificate
