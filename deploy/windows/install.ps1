# Installs the Sẵn Sàng agent as a Windows service. Run as an administrator, with agent.toml beside this file:
#   powershell -ExecutionPolicy Bypass -File install.ps1
# With a secrets.toml beside it too, if this PC holds passwords of devices that the centre does not send.
# Again after an update or with a new agent.toml: it replaces both.
param(
    [string]$Settings = (Join-Path $PSScriptRoot "agent.toml"),
    [string]$Package = "sansang[windows]",
    [string]$Program = (Join-Path $env:ProgramFiles "SanSang")
)
$ErrorActionPreference = "Stop"
$Name = "SanSangAgent"
$Data = Join-Path $env:ProgramData "SanSang"
$Python = Join-Path $Program "Scripts\python.exe"

function Run([string]$Command, [string[]]$Words) {
    & $Command @Words
    if ($LASTEXITCODE -ne 0) { throw "$Command $Words : exit code $LASTEXITCODE" }
}

if (-not (Test-Path $Settings)) { throw "There is no file $Settings; 'sansang-collector agents add' writes it." }

# 1. The program: a Python environment of its own, in a folder that only administrators may change.
if (Get-Service $Name -ErrorAction SilentlyContinue) { Stop-Service $Name }
if (-not (Test-Path $Python)) { Run "py" @("-3", "-m", "venv", $Program) }
Run $Python @("-m", "pip", "install", "--upgrade", $Package)
Run $Python @("-m", "compileall", "-q", (Join-Path $Program "Lib"))

# 2. The service, under an account of its own that Windows makes.
if (-not (Get-Service $Name -ErrorAction SilentlyContinue)) {
    Run $Python @("-m", "deploy.windows.service", "install")
}

# 3. The secret file and the data: for administrators, the system and the service, and nobody else.
New-Item -ItemType Directory -Force $Data | Out-Null
Run "icacls" @($Data, "/inheritance:r", "/grant:r", "*S-1-5-32-544:(OI)(CI)F", "*S-1-5-18:(OI)(CI)F", "NT SERVICE\${Name}:(OI)(CI)M")
Copy-Item -Force $Settings (Join-Path $Data "agent.toml")
$Secrets = Join-Path (Split-Path (Resolve-Path $Settings).Path) "secrets.toml"
if (Test-Path $Secrets) { Copy-Item -Force $Secrets (Join-Path $Data "secrets.toml") }
Run $Python @("-m", "agent", "check-config", "--config", (Join-Path $Data "agent.toml"))

# 4. Go.
Start-Service $Name
Get-Service $Name
