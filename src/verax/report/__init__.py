"""Reports: claims with verdicts, tables and figures of a run, kept in a folder and shown on one page."""

from ._card import Fact as Fact
from ._card import write_card as write_card
from ._claim import EVIDENCE as EVIDENCE
from ._claim import VERDICTS as VERDICTS
from ._claim import Claim as Claim
from ._claim import Criterion as Criterion
from ._environment import environment as environment
from ._figures import PALETTE as PALETTE
from ._figures import StoredFigure as StoredFigure
from ._figures import render as render
from ._figures import style as style
from ._figures import subplots as subplots
from ._html import write_html as write_html
from ._load import load_report as load_report
from ._report import Report as Report
from ._report import Table as Table
from ._terminal import terminal_table as terminal_table
