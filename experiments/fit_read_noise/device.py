"""What of it a device of programmed states takes: the amplitude of its read noise."""

from __future__ import annotations

import numpy as np

from analogjax.devices import StatisticalDevice
from analogjax.fitting import ReadNoise, fit, report_fit


def report(run, first, second, level, interval) -> None:
    """Fit `read_flicker` to the standard deviations of the first halves."""
    seen, unseen = (
        ReadNoise.of_traces(np.arange(x.shape[1]) * interval, x, name="read noise")
        for x in (first, second)
    )
    largest = float(np.max(seen.conductance))
    device = StatisticalDevice("cmo_hfox_fine", g_max=1.5 * largest)
    found = fit(device, seen, ("read_flicker",), throw=False)
    report_fit(
        run, found, name="device", title="A device's read noise",
        text="`StatisticalDevice` says k log10(G / uS) sqrt(ln((T + t_r) / (2 t_r))), with T the "
        "length of the trace and t_r the time between reads (1/f noise between their "
        "frequencies). One amplitude for five cells.",
    )  # fmt: skip
    predicted = np.asarray(unseen.predict(found.device))[:, 0]
    measured = np.asarray(unseen.observed)[:, 0]
    run.table(
        "Standard deviation of the second halves [uS]",
        ["level", "measured", "standard error", "predicted"],
        [[int(k), 1e6 * m, 1e6 * e, 1e6 * p] for k, m, e, p in zip(
            level, measured, np.asarray(unseen.noise.scale(unseen.observed))[:, 0], predicted,
            strict=True)],
        "Five single cells, of which one that hops much decides: a spread from cell to cell is "
        "not in the device.",
    )  # fmt: skip
    run.metric("device_ratio_largest", float(np.max(measured / predicted)))
    run.metric("device_ratio_smallest", float(np.min(measured / predicted)))
