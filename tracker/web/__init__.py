"""The label page: keyframes by hand in the browser, everything between them by the propagator, live."""
