"""Training of networks and their evaluation."""

from .cache import cache_key as cache_key
from .cache import train_cached as train_cached
from .config import TrainingConfig as TrainingConfig
from .digital import History as History
from .digital import TrainedNetwork as TrainedNetwork
from .digital import train as train
from .evaluate import accuracy as accuracy
from .evaluate import confusion_matrix as confusion_matrix
from .evaluate import logits as logits
