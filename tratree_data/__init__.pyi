"""The public functions, with the types that editors and mypy resolve; `__init__.py` imports each when it is first used."""

from .editing.derive import delete as delete
from .editing.derive import filter as filter
from .editing.derive import merge as merge
from .editing.derive import split as split
from .evaluation.compare import compare as compare
from .evaluation.evaluate import evaluate as evaluate
from .experiments.reproduce import reproduce as reproduce
from .exploration.explore import explore as explore
from .exporters import export as export
from .importers.import_log import import_log as import_log
from .pipelines import run as run
from .preferences.demonstrations import demonstrations as demonstrations
from .preferences.pairs import pairs as pairs
from .releases.publish import publish as publish
from .releases.withdraw import withdraw as withdraw
from .scoring.score import score as score
from .state_graphs.states import states as states
from .store.checks import check as check
from .store.published.release import open_dataset as open_dataset
from .store.published.release import open_release as open_release
from .store.reader import open_store as open_store
from .store.upkeep.vacuum import vacuum as vacuum
from .store.writing.writer import create_store as create_store
from .training.train import train as train
from .tree_search.replay import replay as replay
from .tree_search.search import search as search
from .trees.audit import audit as audit
from .trees.build import build as build
from .trees.duplicates import duplicates as duplicates
from .trees.stats import stats as stats
from .trees.stats import stats_by_attempts as stats_by_attempts
from .verification import verify as verify
from .viewing.figures import figure as figure
from .viewing.show import show as show
from .viewing.view import view as view

__version__: str
