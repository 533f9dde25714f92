"""The history of generated images that discriminators are shown.

A discriminator that sees only the newest fakes forgets what it has learned about older
ones. Shrivastava et al. 2017 (arXiv:1612.07828, section 2.3) and CycleGAN (Zhu et al.
2017, arXiv:1703.10593, section 4) keep some: while there is room a fake is stored and
shown; afterwards, with even odds, it is shown, or takes the place of a stored one,
which is shown instead.

The images are part of a checkpoint (`Method.extra_state`), and what is random follows
the seed that is given and how many exchanges there have been, so that a resumed run is
the same bit for bit.
"""

import tensorflow as tf


class ImageBuffer:
    """Holds images of one size; the batch is exchanged one image after the other.

    With several replicas every one holds the whole history: it sees the images of all,
    exchanges them in the order of the replicas, and returns those in its own places.

    Attributes:
      variables: what a checkpoint keeps.
    """

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        """Starts empty.

        Args:
          size: how many images; 0: none, and every image is shown as it comes.
          shape: of an image, [h, w, C].
        """
        self._size = size
        self.variables: list[tf.Variable] = []
        if not size:
            return
        held = {"trainable": False, "aggregation": _SAME_EVERYWHERE}
        self._images = tf.Variable(tf.zeros([size, *shape]), **held)
        self._stored = tf.Variable(0, dtype=tf.int32, **held)
        self._exchanges = tf.Variable(0, dtype=tf.int32, **held)
        self.variables = [self._images, self._stored, self._exchanges]

    def exchange(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns what the discriminator is to see in place of `images`.

        Args:
          images: [B, h, w, C] float32, B known; no gradient goes through.
          seed: [2] integers, of the run and stream.
        """
        images = tf.stop_gradient(images)
        if not self._size:
            return images
        replicas = tf.distribute.get_replica_context()
        index, count = replicas.replica_id_in_sync_group, replicas.num_replicas_in_sync
        rows = images.shape[0]
        if count > 1:
            images = replicas.all_gather(images, axis=0)
        shown = self._exchanged(images, tf.cast(seed, tf.int32), rows * count)
        if count > 1:
            shown = tf.reshape(shown, [count, rows, *shown.shape[1:]])[index]
        return shown

    def _exchanged(self, images: tf.Tensor, seed: tf.Tensor, count: int) -> tf.Tensor:
        held, stored = self._images.read_value(), self._stored.read_value()
        seed = tf.random.experimental.stateless_fold_in(
            seed, self._exchanges.read_value()
        )
        places = tf.random.stateless_uniform([count], seed, 0, self._size, tf.int32)
        seed = tf.random.experimental.stateless_fold_in(seed, 1)
        swaps = tf.random.stateless_uniform([count], seed) < 0.5
        shown = []
        for row in range(count):
            image, has_room = images[row], stored < self._size
            place = tf.where(has_room, tf.minimum(stored, self._size - 1), places[row])
            goes_in = has_room | swaps[row]
            shown.append(tf.where(goes_in & ~has_room, held[place], image))
            kept = tf.where(goes_in, image, held[place])
            held = tf.tensor_scatter_nd_update(held, [[place]], kept[None])
            stored += tf.cast(has_room, tf.int32)
        self._images.assign(held)
        self._stored.assign(stored)
        self._exchanges.assign_add(1)
        return tf.stack(shown)


_SAME_EVERYWHERE = tf.VariableAggregation.ONLY_FIRST_REPLICA
