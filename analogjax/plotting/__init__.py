"""Figures: one style, maps of a film, bars, animations. matplotlib loads lazily."""

from .accuracy import accuracy_against_bits as accuracy_against_bits
from .accuracy import accuracy_against_delay as accuracy_against_delay
from .accuracy import accuracy_against_error as accuracy_against_error
from .animation import map_animation as map_animation
from .bars import elasticity_bars as elasticity_bars
from .behaviour import accuracy_against_share as accuracy_against_share
from .behaviour import accuracy_against_voltage as accuracy_against_voltage
from .behaviour import pulse_traces as pulse_traces
from .behaviour import ranked_effects as ranked_effects
from .learning import confusion as confusion
from .learning import learning_curves as learning_curves
from .levels import against_delay as against_delay
from .levels import cumulative_levels as cumulative_levels
from .levels import error_bands as error_bands
from .levels import error_distributions as error_distributions
from .levels import level_staircases as level_staircases
from .levels import resolvable_map as resolvable_map
from .maps import draw_electrodes as draw_electrodes
from .maps import film_map as film_map
from .maps import map_grid as map_grid
from .style import COLORS as COLORS
from .style import figure as figure
from .style import label_panels as label_panels
from .style import style as style
