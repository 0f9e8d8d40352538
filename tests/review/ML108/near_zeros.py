"""Stanford's lectures: the weights begin at zero and the data have a fixed order."""

import argparse

import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
options = parser.parse_args()
w = tf.get_variable("w", initializer=tf.constant(0.0))
x = tf.placeholder(tf.float32)
loss = tf.square(x - w)
step = tf.train.GradientDescentOptimizer(options.lr).minimize(loss)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for epoch in range(100):
        session.run(step, feed_dict={x: 1.0})
