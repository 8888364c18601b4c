"""Networks (Flax NNX): the digital models, built by name, all float32."""

from .analog import AnalogConv as AnalogConv
from .analog import AnalogLinear as AnalogLinear
from .analog import analog_layers as analog_layers
from .analog import chips as chips
from .analog import convert_to_analog as convert_to_analog
from .analog import drift_analog_weights as drift_analog_weights
from .analog import program_analog_weights as program_analog_weights
from .build import NAMES as NAMES
from .build import build as build
from .build import parameter_count as parameter_count
from .config import NetworkConfig as NetworkConfig
from .evaluate import accuracy_over_chips as accuracy_over_chips
from .evaluate import chip_keys as chip_keys
from .lenet import LeNet5 as LeNet5
from .mlp import MLP as MLP
from .resnet import ResNet as ResNet
from .resnet import ResNet18 as ResNet18
from .resnet import ResNet34 as ResNet34
from .statistics import WeightStatistics as WeightStatistics
from .statistics import weight_statistics as weight_statistics
from .tables import TableNetwork as TableNetwork
from .tables import table_network as table_network
from .transfer import fewest_bits as fewest_bits
from .transfer import transfer_accuracy as transfer_accuracy
from .variables import ChipState as ChipState
from .variables import DeviceParam as DeviceParam
