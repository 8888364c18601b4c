"""Networks (Flax NNX): the digital models, built by name, all float32."""

from .build import NAMES as NAMES
from .build import build as build
from .build import parameter_count as parameter_count
from .config import NetworkConfig as NetworkConfig
from .lenet import LeNet5 as LeNet5
from .mlp import MLP as MLP
from .resnet import ResNet as ResNet
from .resnet import ResNet18 as ResNet18
from .resnet import ResNet34 as ResNet34
from .statistics import WeightStatistics as WeightStatistics
from .statistics import weight_statistics as weight_statistics
