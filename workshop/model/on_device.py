"""Many training steps as one program, on the GPU that learns: pictures, changes, teachers and averages are all there.

A step of the compact model takes a large GPU three milliseconds, and Python needs a multiple of that to prepare and to
start it. Here a whole epoch is started at once. Keras offers the network's and the optimizer's pure functions for that;
they are put into a loop by JAX, so Keras must run on JAX.
"""

import keras
import numpy as np

from fer_utils.common.errors import UserError
from workshop.model.augment import Distortion
from workshop.model.distorted_faces import DistortedFaces


def is_accelerated():
    """Return whether Keras runs on JAX, and JAX on a GPU or TPU."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() != "cpu"


def require_jax():
    """Raise UserError if Keras does not run on JAX."""
    if keras.backend.backend() != "jax":
        raise UserError("whole epochs on the device need Keras on JAX: install jax and set KERAS_BACKEND=jax")


class OnDevice:
    """Does the steps of a `train.Run` on the accelerator.

    Which pictures a step shows, and how they are changed, depends on the seed and the step alone, so that a run that
    was interrupted goes on as if it had not been.

    Args:
        run: the `train.Run`; its plan's `views` says after how many epochs the same changed pictures come again.

    Raises:
        UserError: if Keras does not run on JAX.
    """

    def __init__(self, run):
        require_jax()
        import jax

        self.run, plan = run, run.plan
        self.batch_size = plan.batch_size
        self.per_epoch = max(1, len(run.images) // self.batch_size)
        self.images, self.labels = jax.device_put(run.images), jax.device_put(run.smoothed_targets())
        self.teachers = [
            tuple(_values(part) for part in (teacher.trainable_variables, teacher.non_trainable_variables))
            for teacher in run.teachers
        ]
        self.answers, self.programs = {}, {}
        model = run.model
        # Where dropout's seeds are among the variables that are not trained, and the rate among the optimizer's.
        self.seeds = [
            index
            for index, variable in enumerate(model.non_trainable_variables)
            if "seed_generator_state" in variable.path
        ]
        self.rate = [id(variable) for variable in model.optimizer.variables].index(id(model.optimizer._learning_rate))
        # Where each averaged weight is found among the trained and the other variables.
        self.found = self._positions(model)
        self.state = self._read()

    @staticmethod
    def _positions(model):
        places = {
            id(variable): (part, index)
            for part, variables in enumerate((model.trainable_variables, model.non_trainable_variables))
            for index, variable in enumerate(variables)
        }
        return [places[id(weight)] for weight in model.weights]

    def _read(self):
        model = self.run.model
        return (
            _values(model.trainable_variables),
            _values(model.non_trainable_variables),
            _values(model.optimizer.variables),
            [keras.ops.convert_to_tensor(weight) for weight in self.run.average.weights],
        )

    def write_back(self):
        """Give the run's Keras model, optimizer and average what was learned."""
        model = self.run.model
        variables = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
        for part, values in zip(variables, self.state, strict=False):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        self.run.average.weights = [np.array(weight) for weight in self.state[3]]

    def advance(self, last):
        """Do the steps after the run's, up to `last`, at most to the end of the epoch.

        Returns:
            The mean loss of each step, all the same number, as a list.

        Raises:
            FloatingPointError: if the loss is no longer finite.
        """
        run, plan = self.run, self.run.plan
        epoch, position = divmod(run.step, self.per_epoch)
        first = run.step + 1
        last = min(last, (epoch + 1) * self.per_epoch)
        if first <= plan.falls_after:
            last = min(last, plan.falls_after)
        window = run.batch_arguments(first)[1]
        view = epoch % plan.views if plan.views else epoch
        steps = np.arange(first, first + self.per_epoch)
        rates = np.array([plan.rate_at(int(step)) for step in steps], np.float32)
        keeps = np.array([run.average.keep(int(step), int(step) == plan.steps) for step in steps], np.float32)
        order, offset = self._order(view), np.int32(view * self.per_epoch)
        answers = self._answers(view, window, order, offset) if self.teachers else None
        self.state, loss = self._compiled(_training, window)(
            self.state,
            order,
            answers,
            rates,
            keeps,
            np.int32(last - run.step),
            np.int32(position),
            offset,
            np.int32(run.step),
        )
        count, loss = last - run.step, float(loss)
        run.step = last
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in step {last} or shortly before")
        return [loss / count] * count

    def _order(self, view):
        order = np.random.default_rng([self.run.plan.seed, view, 1]).permutation(len(self.run.images))
        return order[: self.per_epoch * self.batch_size].reshape(self.per_epoch, self.batch_size).astype(np.int32)

    def _answers(self, view, window, order, offset):
        """Return what the teachers say to an epoch's pictures, float16 (steps, batch size, 7)."""
        if (view, window) not in self.answers:
            # Pictures that never come again, or came in another window, need not be kept.
            if not self.run.plan.views or any(kept != window for _, kept in self.answers):
                self.answers.clear()
            given = self._compiled(_answering, window)(self.teachers, order, offset)
            self.answers[view, window] = given
        return self.answers[view, window]

    def _compiled(self, make, window):
        """Return the program that `make` makes for a window, compiled once."""
        if (make, window) not in self.programs:
            self.programs[make, window] = make(self, window)
        return self.programs[make, window]

    def layer(self, window):
        """Return what changes the pictures, to a window of so many pixels."""
        return DistortedFaces(window, Distortion(**self.run.plan.distortion))

    def changed(self, layer, order, position, offset):
        """Return (faces, probabilities to learn) of one step, inside a program of JAX."""
        from jax import numpy as jnp

        chosen = order[position]
        seed = jnp.stack([jnp.uint32(self.run.plan.seed), jnp.uint32(offset + position)])
        batch, _ = layer.stateless_call([], [seed], self.images[chosen][..., None], self.labels[chosen])
        return batch


def _values(variables):
    return [variable.value for variable in variables]


def _answering(device, window):
    """Make the program that gives the teachers' answers to an epoch."""
    import jax
    from jax import numpy as jnp

    layer, networks = device.layer(window), device.run.teachers

    @jax.jit
    def program(teachers, order, offset):
        def step(position, answers):
            faces, _ = device.changed(layer, order, position, offset)
            given = [
                network.stateless_call(*weights, faces, training=False)[0]
                for network, weights in zip(networks, teachers, strict=True)
            ]
            return answers.at[position].set((sum(given) / len(given)).astype(answers.dtype))

        empty = jnp.zeros((*order.shape, device.labels.shape[1]), jnp.float16)
        return jax.lax.fori_loop(0, len(order), step, empty)

    return program


def _training(device, window):
    """Make the program that does up to an epoch's steps of training."""
    import jax
    from jax import numpy as jnp

    layer, model, trust = device.layer(window), device.run.model, device.run.plan.trust
    optimizer, seed = model.optimizer, device.run.plan.seed

    def loss_of(trained, others, faces, targets):
        probabilities, others = model.stateless_call(trained, others, faces, training=True)
        return jnp.mean(keras.losses.categorical_crossentropy(targets, probabilities)), others

    gradient = jax.value_and_grad(loss_of, has_aux=True)

    @jax.jit
    def program(state, order, answers, rates, keeps, count, position, offset, done):
        def step(i, carried):
            trained, others, optimizing, average, total = carried
            faces, targets = device.changed(layer, order, position + i, offset)
            if answers is not None:
                targets = targets + trust * (answers[position + i].astype("float32") - targets)
            others = list(others)
            for k, index in enumerate(device.seeds):
                others[index] = jnp.stack([jnp.uint32(seed + k), jnp.uint32(done + i + 1)]).astype(others[index].dtype)
            optimizing = list(optimizing)
            optimizing[device.rate] = rates[i].astype(optimizing[device.rate].dtype)
            (loss, others), gradients = gradient(trained, others, faces, targets)
            trained, optimizing = optimizer.stateless_apply(optimizing, gradients, trained)
            now = [(trained, others)[part][index] for part, index in device.found]
            average = [keeps[i] * old + (1 - keeps[i]) * new for old, new in zip(average, now, strict=True)]
            return list(trained), list(others), list(optimizing), average, total + loss

        *state, total = jax.lax.fori_loop(0, count, step, (*state, jnp.float32(0)))
        return tuple(state), total

    return program
