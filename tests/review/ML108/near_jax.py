"""A key of JAX is a seed."""

import jax
import optax

key = jax.random.PRNGKey(0)
params = {"w": jax.random.normal(key, (4,))}
optimizer = optax.adam(1e-3)
state = optimizer.init(params)
for step in range(100):
    grads = jax.grad(lambda p: (p["w"] ** 2).sum())(params)
    updates, state = optimizer.update(grads, state)
    params = optax.apply_updates(params, updates)
