"""The public API: :class:`Tracker` and :class:`Trajectory`, re-exported by the package (docs/api.md).

The commands are these methods with a progress bar. Everything here is source pixels, x to the right, y down, pixel
centres at integers; seconds; RGB uint8; NaN for what is missing.
"""
