# Sourced by the other scripts: makes .venv beside the project and installs it with the extras named in $1.
# An install is skipped when nothing it depends on has changed.
#   ONEBALL_VENV         another place for the environment (default: .venv)
#   PYTHON               the Python to make it with (default: python3)
#   ONEBALL_TORCH_INDEX  where to take torch from, e.g. PyTorch's index of CPU builds (docs/install.md)
set -euo pipefail
caller="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extras="${1:-}"
venv="${ONEBALL_VENV:-$PWD/.venv}"
python="${PYTHON:-python3}"
"$python" -c "import sys; sys.exit(sys.version_info < (3, 10))" || { echo "error: Python 3.10 or newer is needed" >&2; exit 2; }
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
venv="$(cd "$venv" && pwd)"
stamp="$venv/.installed${extras:+-$extras}"
if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
  case ",$extras," in
    *,train,*) size="2.5 GB, with CUDA 6.6 GB; 5 to 10 minutes" ;;
    *) size="0.7 GB; 1 minute" ;;
  esac
  echo "installing oneball${extras:+ with extras $extras} into $venv (about $size) ..." >&2
  case ",$extras," in *,train,*)
    if [ -n "${ONEBALL_TORCH_INDEX:-}" ]; then
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check torch torchvision --index-url "$ONEBALL_TORCH_INDEX"
    elif [ "$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; then  # elsewhere the default build is the CPU's
      echo "note: no NVIDIA GPU here, yet pip's default torch on Linux brings CUDA (4 GB); docs/install.md says how to leave it out" >&2
    fi ;;
  esac
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".${extras:+[$extras]}"
  touch "$stamp"
fi
caller_path="$PATH"
export PATH="$venv/bin:$PATH"
