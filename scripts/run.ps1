# Tracks the ball in a video with the bundled weights; sets everything up first.
#   scripts\run.ps1                      a rendered sample
#   scripts\run.ps1 match.mp4 --json     any video, any option of `tracker infer`
$extras = ""
. (Join-Path $PSScriptRoot "setup.ps1")
if ($args.Count -eq 0) {
  $sample = "runs/sample/sample.mp4"
  if (-not (Test-Path $sample)) { Invoke-Step "$venv\Scripts\tracker.exe" synth --sport tennis --seconds 4 --seed 1 $sample }
  $args = @($sample, "--overlay", "--out", "runs/sample")
}
& "$venv\Scripts\tracker.exe" infer @args
exit $LASTEXITCODE
