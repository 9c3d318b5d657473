# Dot-sourced by the other scripts: makes .venv beside the project and installs it with the extras named in $extras.
# An install is skipped when nothing it depends on has changed.
#   ONEBALL_VENV         another place for the environment (default: .venv)
#   PYTHON               the Python to make it with (default: python)
#   ONEBALL_TORCH_INDEX  where to take torch from, e.g. PyTorch's index of CPU builds (docs/install.md)
$ErrorActionPreference = "Stop"
function Invoke-Step { # a program that fails ends the script with its exit code
  $program, $rest = $args
  & $program @rest
  if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}
$root = (Resolve-Path (Join-Path $PSScriptRoot "..")).Path
$venv = if ($env:ONEBALL_VENV) { $env:ONEBALL_VENV } else { "$root\.venv" }
$python = if ($env:PYTHON) { $env:PYTHON } else { "python" }
& $python -c "import sys; sys.exit(sys.version_info < (3, 10))"
if ($LASTEXITCODE -ne 0) { [Console]::Error.WriteLine("error: Python 3.10 or newer is needed"); exit 2 }
if (-not (Test-Path "$venv\Scripts\python.exe")) { Invoke-Step $python -m venv $venv }
$venv = (Resolve-Path $venv).Path
$stamp = "$venv\.installed" + $(if ($extras) { "-$extras" })
if (-not (Test-Path $stamp) -or (Get-Item "$root\pyproject.toml").LastWriteTime -gt (Get-Item $stamp).LastWriteTime) {
  $size = if (",$extras," -like "*,train,*") { "2.5 GB; 5 to 10 minutes" } else { "0.7 GB; 1 minute" }
  $with = if ($extras) { " with extras $extras" }
  [Console]::Error.WriteLine("installing oneball$with into $venv (about $size) ...")
  if (",$extras," -like "*,train,*" -and $env:ONEBALL_TORCH_INDEX) {
    Invoke-Step "$venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check torch torchvision --index-url $env:ONEBALL_TORCH_INDEX
  }
  $what = if ($extras) { "${root}[$extras]" } else { $root }
  Invoke-Step "$venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check -e $what
  Set-Content $stamp ""
}
