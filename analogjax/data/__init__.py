"""Data sets: images and measurements to train and test on, found, downloaded or embedded."""

from ._dataset import Dataset as Dataset
from ._dataset import Split as Split
from ._images import augment as augment
from ._images import check_images as check_images
from ._images import check_labels as check_labels
from ._images import to_float as to_float
from ._load import NAMES as NAMES
from ._load import load as load
from .config import DataConfig as DataConfig
