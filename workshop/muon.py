"""Adam whose steps for convolutions turn and stretch nothing more than anything else: Muon.

Adam sets the size of each weight's step by itself. In a plain network, most of what it then changes lies in a few
directions, and the others are learned late. Muon takes the mean gradient of a whole kernel as a matrix and makes all
its singular values about equal before it steps, so that every direction is learned at once (Jordan et al. 2024, "Muon:
An optimizer for hidden layers in neural networks", https://kellerjordan.github.io/posts/muon/). The optimizer of this
name in Keras leaves convolutions to Adam, which are what needs it here. Importing this module imports Keras.
"""

import keras
from keras import ops

# Newton-Schulz coefficients of Jordan et al.: five rounds bring singular values from 0.01 to 1 to between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)

ROUNDS = 5


@keras.saving.register_keras_serializable("fer_utils")
class ConvolutionMuon(keras.optimizers.Adam):
    """Muon for the kernels of convolutions, but not of those that see the picture itself; Adam for all other weights.

    A kernel (height, width, channels in, channels out) is one matrix, with a column for each channel out. Its step is
    as large, in the root mean square, as 0.2 times the learning rate times `convolution_rate`: Adam's are about so
    (Liu et al. 2025, "Muon is scalable for LLM training", arXiv:2502.16982).

    Args:
        learning_rate: of Adam; a number or a schedule.
        convolution_rate: how many times larger the learning rate is for convolutions.
        convolution_momentum: how much of the mean gradient of a kernel stays at each step.
        epsilon: as for Adam, but larger than there. A dense layer behind a wide map has thousands of inputs whose
            gradients are tiny; steps as large as anyone's push its units below zero together.
        settings: as for keras.optimizers.Adam. `weight_decay` acts on convolutions too.
    """

    def __init__(self, learning_rate=0.001, convolution_rate=5.0, convolution_momentum=0.95, epsilon=1e-3, **settings):
        super().__init__(learning_rate, epsilon=epsilon, **settings)
        self.convolution_rate, self.convolution_momentum = convolution_rate, convolution_momentum

    def update_step(self, gradient, variable, learning_rate):
        """Change one variable."""
        if len(variable.shape) != 4 or variable.shape[2] == 1:
            self.adam_step(gradient, variable, learning_rate)
            return
        mean = self._momentums[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(mean, self.convolution_momentum * mean + gradient)
        # Nesterov: where the mean will be after the next step, if the gradient stays.
        ahead = ops.reshape(gradient + self.convolution_momentum * mean, (-1, variable.shape[-1]))
        step = ops.cast(evened(ahead), variable.dtype) * (0.2 * max(ahead.shape) ** 0.5)
        rate = ops.cast(learning_rate, variable.dtype) * self.convolution_rate
        self.assign_sub(variable, rate * ops.reshape(step, variable.shape))

    def adam_step(self, gradient, variable, learning_rate):
        """Change one variable as Adam does."""
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        own = {"convolution_rate": self.convolution_rate, "convolution_momentum": self.convolution_momentum}
        return {**super().get_config(), **own}


def evened(matrix):
    """Return a matrix of the same singular vectors whose singular values are all about 1 (0.7 to 1.2).

    Args:
        matrix: float (rows, columns).

    Returns:
        The same shape; bfloat16 where networks compute in it, else float32.
    """
    is_bfloat16 = keras.config.dtype_policy().compute_dtype == "bfloat16"
    is_tall = matrix.shape[0] > matrix.shape[1]
    # The products are with the shorter side's square.
    x = ops.transpose(matrix) if is_tall else matrix
    x = ops.cast(x / (ops.norm(x) + 1e-7), "bfloat16" if is_bfloat16 else "float32")
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ ops.transpose(x)
        x = a * x + (b * square + c * (square @ square)) @ x
    return ops.transpose(x) if is_tall else x
