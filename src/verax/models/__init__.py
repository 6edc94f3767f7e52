"""Reference networks for papers, tests and benchmarks: pure functions of ``(params, x)``.

Every constructor returns ``(network, params)``: ``network(params, x)`` is the evaluation mode, ``params`` a nested dict
of trainable arrays (running statistics are closed over), and :func:`features_of` gives the penultimate features for a
fresh head. They are written as plain functions, not as modules of a framework: a kernel engine then sees each parameter
enter one operation, and nothing has to be split into state and graph before it can be differentiated.
"""

from ._cifar_resnet import cifar_resnet as cifar_resnet
from ._mlp import mlp as mlp
from ._network import Network as Network
from ._network import features_of as features_of
from ._resnet18 import resnet18 as resnet18
from ._small_cnn import small_cnn as small_cnn
from ._torchvision_resnet import torchvision_resnet as torchvision_resnet
