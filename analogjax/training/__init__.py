"""Training of networks and their evaluation."""

from .cache import from_stored as from_stored
from .cache import to_stored as to_stored
from .cache import train_cached as train_cached
from .cache import train_in_run as train_in_run
from .config import TrainingConfig as TrainingConfig
from .digital import History as History
from .digital import TrainedNetwork as TrainedNetwork
from .digital import check_data as check_data
from .digital import identity as identity
from .digital import train as train
from .evaluate import accuracy as accuracy
from .evaluate import confusion_matrix as confusion_matrix
from .evaluate import logits as logits
