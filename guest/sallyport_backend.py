# SPDX-License-Identifier: Apache-2.0
"""matplotlib's backend in a sandbox: Agg, and show() saves the open figures as /tmp/out/figure-N.png."""
import os

from matplotlib.backends.backend_agg import FigureCanvasAgg, FigureManagerBase
from matplotlib.figure import Figure

OUT = "/tmp/out"
FigureCanvas = FigureCanvasAgg
FigureManager = FigureManagerBase

_savefig = Figure.savefig
_last = 0


def _savefig_and_remember(self, *args, **kwargs):
    result = _savefig(self, *args, **kwargs)
    self._sallyport_saved = True
    return result


Figure.savefig = _savefig_and_remember


def _next_path():
    global _last
    while True:
        _last += 1
        path = os.path.join(OUT, "figure-%d.png" % _last)
        if not os.path.lexists(path):
            return path


def save_open_figures(unsaved_only=False):
    import matplotlib.pyplot as plt
    for number in plt.get_fignums():
        figure = plt.figure(number)
        if figure.get_axes() and not (unsaved_only and getattr(figure, "_sallyport_saved", False)):
            _savefig(figure, _next_path(), format="png")
    plt.close("all")


def show(*args, **kwargs):
    save_open_figures()
