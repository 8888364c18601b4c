"""An array as a dense nodal matrix, in NumPy: wires of zero ohm by merging nodes. For the tests."""

import numpy as np


def solve(g, v, *, r_word, r_bit, r_source, r_sense, v_bit, both=False):
    """Return outputs, cell currents and potentials; resistances are full arrays (inf: open)."""
    rows, cols = g.shape
    word = np.arange(rows * cols).reshape(rows, cols)
    bit = word + rows * cols
    source = 2 * rows * cols + np.arange(rows)
    ground = source[-1] + 1 + np.arange(cols)
    count = ground[-1] + 1
    edges = [(word[i, j], bit[i, j], g[i, j]) for i in range(rows) for j in range(cols)]
    wires = []
    for i in range(rows):
        wires.append((source[i], word[i, 0], r_word[i, 0] + r_source[i]))
        wires += [(word[i, j - 1], word[i, j], r_word[i, j]) for j in range(1, cols)]
        if both:
            wires.append((word[i, -1], source[i], r_word[i, cols] + r_source[i]))
    for j in range(cols):
        wires.append((bit[-1, j], ground[j], r_bit[-1, j] + r_sense[j]))
        wires += [(bit[i, j], bit[i + 1, j], r_bit[i, j]) for i in range(rows - 1)]
    names = np.arange(count)
    for a, b, r in wires:
        if r == 0:
            names[names == names[a]] = names[b]
        else:
            edges.append((a, b, 0.0 if np.isinf(r) else 1 / r))
    matrix = np.zeros((count, count))
    for a, b, conductance in edges:
        a, b = names[a], names[b]
        if a != b:
            matrix[[a, b], [a, b]] += conductance
            matrix[[a, b], [b, a]] -= conductance
    potentials = np.zeros(count)
    held = np.r_[names[source], names[ground]]
    potentials[held] = np.r_[v, v_bit]
    free = np.setdiff1d(names, held)
    lhs = matrix[np.ix_(free, free)]
    # Rows scaled to their diagonal: resistances differ by orders of magnitude.
    scale = 1 / np.sqrt(np.diag(lhs))
    rhs = -matrix[np.ix_(free, held)] @ potentials[held]
    potentials[free] = scale * np.linalg.solve(lhs * np.outer(scale, scale), scale * rhs)
    potentials = potentials[names]
    u, b = potentials[word], potentials[bit]
    device = g * (u - b)
    return device.sum(axis=0), device, u, b
