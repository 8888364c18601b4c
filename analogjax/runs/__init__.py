"""Run folders, configurations and progress: what surrounds an experiment, without any physics."""

from ._cache import cache_file as cache_file
from ._cache import cached as cached
from ._compose import Composed as Composed
from ._compose import compose as compose
from ._compose import sweep as sweep
from ._compose import swept_keys as swept_keys
from ._errors import UsageError as UsageError
from ._folder import RunFolder as RunFolder
from ._ledger import Ledger as Ledger
from ._library import Library as Library
from ._library import descriptions as descriptions
from ._library import locate as locate
from ._portions import from_arrays as from_arrays
from ._portions import to_arrays as to_arrays
from ._progress import Progress as Progress
from ._progress import duration as duration
from ._setup import cache_folder as cache_folder
from ._setup import set_up as set_up
from ._summary import Stored as Stored
from ._summary import compare as compare
from ._summary import expand as expand
from ._summary import read as read
from ._summary import show as show
