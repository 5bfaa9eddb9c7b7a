from .applying import masks_applied as masks_applied
from .classes import (
    Supermask as Supermask,
    SupermaskConv1D as SupermaskConv1D,
    SupermaskConv2D as SupermaskConv2D,
    SupermaskConv2DTranspose as SupermaskConv2DTranspose,
    SupermaskConv3D as SupermaskConv3D,
    SupermaskDense as SupermaskDense,
    SupermaskDepthwiseConv2D as SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D as SupermaskSeparableConv2D,
    SupermaskSpectralNormalization as SupermaskSpectralNormalization,
    supermask as supermask,
    supermask_class as supermask_class,
)
from .draws import (
    KernelRedraws as KernelRedraws,
    MaskDraws as MaskDraws,
    drawn as drawn,
    redraw_removed as redraw_removed,
    stochastic_weights as stochastic_weights,
)
from .initializers import (
    SignedConstant as SignedConstant,
    default_score_initializer as default_score_initializer,
)
from .kernels import Kernel as Kernel, is_kernel as is_kernel, kernels_of as kernels_of
from .masked_weight import MaskedWeight as MaskedWeight
from .methods import (
    Biprop as Biprop,
    Dense as Dense,
    EdgePopup as EdgePopup,
    Fixed as Fixed,
    IteRand as IteRand,
    Magnitude as Magnitude,
    Method as Method,
    Signed as Signed,
    Stochastic as Stochastic,
    get_method as get_method,
    method_names as method_names,
    register as register,
)
from .mixin import SupermaskMixin as SupermaskMixin, plain_class as plain_class
from .walking import (
    dense_forward as dense_forward,
    masked_weights as masked_weights,
    masks_found_once as masks_found_once,
    supermask_layers as supermask_layers,
)
