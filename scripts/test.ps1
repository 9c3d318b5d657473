# Runs the tests; sets everything up first. Arguments go to pytest.
$extras = "dev,train"
. (Join-Path $PSScriptRoot "setup.ps1")
Push-Location $root
try { & "$venv\Scripts\python.exe" -m pytest @args } finally { Pop-Location }
exit $LASTEXITCODE
