"""What makes an array less than a matrix product, with cause and lifetime on every one."""

from ._base import AbstractCellEffect as AbstractCellEffect
from ._base import AbstractNonideality as AbstractNonideality
from ._base import AbstractReadNoise as AbstractReadNoise
