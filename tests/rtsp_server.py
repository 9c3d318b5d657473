"""A real RTSP server (GStreamer's) on the loopback, as a program: ``rtsp_server.py PORT [WIDTH HEIGHT [PICTURES]]``.

It serves rtsp://127.0.0.1:PORT/ball, 30 frames a second of H.264: a moving ball, or the pictures (a pattern such as
``%04d.jpg``, over and over). It needs an interpreter with PyGObject, in general the system's, and on Debian the
packages gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-{base,good,ugly}. It prints ``ready`` once it listens.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,ugly}"
_PROBE = (
    "import gi; gi.require_version('Gst','1.0'); gi.require_version('GstRtspServer','1.0')\n"
    "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
    "assert all(Gst.ElementFactory.find(n) for n in ('videotestsrc', 'x264enc', 'rtph264pay'))"
)


def interpreter() -> str | None:
    """A Python that can run this program, or None."""
    for python in dict.fromkeys([sys.executable, "/usr/bin/python3", shutil.which("python3")]):
        if python and subprocess.run([python, "-c", _PROBE], capture_output=True).returncode == 0:
            return python
    return None


def main(port: str, width: str = "320", height: str = "192", pictures: str = "") -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    size = f"width={width},height={height}"
    if pictures:
        source = (
            f'multifilesrc location="{pictures}" loop=true caps="image/jpeg,framerate=30/1,{size}" ! jpegdec '
            "! videoconvert ! video/x-raw,format=I420"
        )
    else:
        source = f"videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,{size},framerate=30/1"
    encode = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=4000"
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {source} ! {encode} ! rtph264pay name=pay0 pt=96 config-interval=1 )")
    factory.set_shared(True)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/ball", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
