#requires -Version 5.1
<#
.SYNOPSIS
    Makes the Hyper-V virtual machine for disks converted by rehome.
.DESCRIPTION
    Run it on the Hyper-V host as an administrator or a member of Hyper-V Administrators. The VHDX files and their
    .rehome.json manifests lie in the folder of this script; the disks are attached where they lie and never copied,
    changed or deleted by it. Everything is checked before anything is made. When a step fails, the half-made
    virtual machine is removed again and the disks stay. With -WhatIf nothing is changed.
.PARAMETER SwitchName
    Virtual switch to connect every network adapter to. Without it each is connected to the switch that was chosen for
    it when this script was written; where none was, it stays unconnected.
.PARAMETER SwitchMap
    Switches by the network the adapter had at the source, such as @{ 'subnet-1' = 'LAN' }. Goes before SwitchName.
.PARAMETER VMPath
    Existing folder for the configuration of the virtual machine. Default: the host's setting.
.PARAMETER StaticMac
    Keep the hardware addresses of the source. Only when the source never runs in the same network again. Addresses
    that were chosen for this machine are set anyway.
.PARAMETER Start
    Start the virtual machine when it is made.
#>
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    [string]$SwitchName = '',
    [hashtable]$SwitchMap = @{},
    [string]$VMPath = '',
    [switch]$StaticMac,
    [switch]$Start
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# ---- What is made. Every value below is a number or a single-quoted literal. ----
$VMName = 'web-1'
# Generation 1: BIOS firmware, starts from IDE 0:0.
$Generation = 1
$GenerationReason = 'the disk has this boot loader'
# Secure Boot: generation 1 has none.
$SecureBoot = 'Off'
$SecureBootTemplate = ''
$SecureBootReason = 'shim is signed'
# Whether it gets a TPM, a new one.
$Tpm = 0
$MemoryBytes = 4294967296
$ProcessorCount = 2
$Notes = 'Migrated by rehome'
# The first disk is the one the firmware starts.
$Disks = @(
    @{ File = 'web-1-0.vhdx'; Manifest = 'web-1-0.vhdx.rehome.json'; Controller = 'IDE'; Number = 0; Location = 0 }
)
# The network is that of the source, and so is a MAC that is not static; the switch was chosen for this machine.
$Adapters = @(
    @{ Name = 'Network Adapter 1'; Mac = '0A1B2C3D4E5F'; Static = 0; Network = 'subnet-0123456789abcdef0'; Switch = '' }
)

# ---- Checks. Nothing is changed before all of them have passed. ----
if (-not $PSScriptRoot) {
    throw 'Run this as a script file: the disks are looked for in its folder.'
}
if (-not (Get-Module -ListAvailable -Name 'Hyper-V')) {
    throw 'The Hyper-V PowerShell module is not installed on this computer.'
}
Import-Module -Name 'Hyper-V'

# Cmdlets are called by their full names: other modules for virtual machines have commands of the same name.
# Names are compared, never passed to -Name: there they would be wildcard patterns.
$existing = @(Hyper-V\Get-VM)
if (@($existing | Where-Object { $_.Name -eq $VMName }).Count -gt 0) {
    throw ('A virtual machine with this name exists already: {0}' -f $VMName)
}
if ($VMPath -and -not (Test-Path -LiteralPath $VMPath -PathType Container)) {
    throw ('The folder given as VMPath does not exist: {0}' -f $VMPath)
}

$attached = @(foreach ($other in $existing) { Hyper-V\Get-VMHardDiskDrive -VM $other | ForEach-Object { $_.Path } })
$unfit = [System.IO.FileAttributes]::SparseFile -bor [System.IO.FileAttributes]::Compressed -bor [System.IO.FileAttributes]::Encrypted
foreach ($disk in $Disks) {
    $path = [System.IO.Path]::Combine($PSScriptRoot, $disk['File'])
    $manifestPath = [System.IO.Path]::Combine($PSScriptRoot, $disk['Manifest'])
    if (-not (Test-Path -LiteralPath $path -PathType Leaf)) {
        throw ('Disk file not found: {0}' -f $path)
    }
    if (-not (Test-Path -LiteralPath $manifestPath -PathType Leaf)) {
        throw ('Manifest not found: {0}. Without it nothing shows that the disk is whole.' -f $manifestPath)
    }
    $file = Get-Item -LiteralPath $path -Force
    $manifest = Get-Content -LiteralPath $manifestPath -Raw -Encoding UTF8 | ConvertFrom-Json
    $image = $manifest.PSObject.Properties['image']
    $recorded = if ($null -ne $image -and $null -ne $image.Value) { $image.Value.PSObject.Properties['file_size'] } else { $null }
    if ($null -ne $recorded -and $null -ne $recorded.Value -and [int64]$recorded.Value -ne $file.Length) {
        throw ('{0} has {1} bytes, its manifest says {2}: the copy is not whole.' -f $path, $file.Length, $recorded.Value)
    }
    if (($file.Attributes -band $unfit) -ne 0) {
        throw ('{0} is sparse, compressed or encrypted by NTFS ({1}); Hyper-V refuses such files. Copy it without that attribute.' -f $path, $file.Attributes)
    }
    if ($attached -contains $path) {
        throw ('{0} is attached to another virtual machine.' -f $path)
    }
    $disk['Path'] = $path
}

# What is said now goes before what was chosen when this script was written.
foreach ($adapter in $Adapters) {
    $adapter['Target'] = if ($SwitchMap.ContainsKey($adapter['Network'])) {
        [string]$SwitchMap[$adapter['Network']]
    } elseif ($SwitchName) {
        $SwitchName
    } else {
        $adapter['Switch']
    }
    $adapter['FixedMac'] = if ($StaticMac -or $adapter['Static'] -eq 1) { $adapter['Mac'] } else { '' }
}
$switches = @(Hyper-V\Get-VMSwitch)
$wanted = @($SwitchName) + @($SwitchMap.GetEnumerator() | ForEach-Object { [string]$_.Value }) + @($Adapters | ForEach-Object { $_['Target'] }) | Where-Object { $_ }
foreach ($name in $wanted) {
    if (@($switches | Where-Object { $_.Name -eq $name }).Count -ne 1) {
        throw ('There is no virtual switch with this name, or more than one: {0}' -f $name)
    }
}
foreach ($entry in $SwitchMap.GetEnumerator()) {
    if (@($Adapters | Where-Object { $_['Network'] -eq $entry.Key }).Count -eq 0) {
        throw ('SwitchMap names a network that no adapter of this machine had: {0}' -f $entry.Key)
    }
}

# ---- Changes. ----
# Each change asks through ShouldProcess here; the cmdlets need not ask a second time.
$ConfirmPreference = 'None'
$vm = $null
$done = $false
try {
    if ($PSCmdlet.ShouldProcess($VMName, ('Create virtual machine of generation {0}' -f $Generation))) {
        $new = @{ Name = $VMName; Generation = $Generation; MemoryStartupBytes = $MemoryBytes; NoVHD = $true }
        if ($VMPath) {
            $new['Path'] = $VMPath
        }
        $vm = Hyper-V\New-VM @new
    } elseif (-not $WhatIfPreference) {
        # Declined at the prompt of -Confirm: there is nothing to go on with.
        return
    }

    if ($PSCmdlet.ShouldProcess($VMName, ('Set {0} processors and {1} bytes of fixed memory' -f $ProcessorCount, $MemoryBytes))) {
        Hyper-V\Set-VMMemory -VM $vm -DynamicMemoryEnabled $false
        Hyper-V\Set-VMProcessor -VM $vm -Count $ProcessorCount
    }

    if ($PSCmdlet.ShouldProcess($VMName, 'Set notes, no automatic start, shutdown with the host, no automatic checkpoints')) {
        Hyper-V\Set-VM -VM $vm -Notes $Notes -AutomaticStartAction Nothing -AutomaticStopAction ShutDown
        # Not on Windows Server 2016.
        if ((Get-Command -Name 'Set-VM' -Module 'Hyper-V').Parameters.ContainsKey('AutomaticCheckpointsEnabled')) {
            Hyper-V\Set-VM -VM $vm -AutomaticCheckpointsEnabled $false
        }
    }

    $bootDrive = $null
    foreach ($disk in $Disks) {
        $place = '{0} {1}:{2}' -f $disk['Controller'], $disk['Number'], $disk['Location']
        if ($PSCmdlet.ShouldProcess($VMName, ('Attach {0} as {1}' -f $disk['Path'], $place))) {
            if ($disk['Controller'] -eq 'SCSI') {
                while (@(Hyper-V\Get-VMScsiController -VM $vm).Count -le $disk['Number']) {
                    Hyper-V\Add-VMScsiController -VM $vm
                }
            }
            $drive = Hyper-V\Add-VMHardDiskDrive -VM $vm -ControllerType $disk['Controller'] -ControllerNumber $disk['Number'] -ControllerLocation $disk['Location'] -Path $disk['Path'] -Passthru
            if ($null -eq $bootDrive) {
                $bootDrive = $drive
            }
        }
    }

    if ($Generation -eq 2) {
        if ($PSCmdlet.ShouldProcess($VMName, ('Set Secure Boot {0}, start from the first disk' -f $SecureBoot))) {
            if ($SecureBoot -eq 'On') {
                Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate $SecureBootTemplate
            } else {
                Hyper-V\Set-VMFirmware -VM $vm -EnableSecureBoot Off
            }
            Hyper-V\Set-VMFirmware -VM $vm -FirstBootDevice $bootDrive
        }
    } elseif ($PSCmdlet.ShouldProcess($VMName, 'Start from the first IDE disk')) {
        Hyper-V\Set-VMBios -VM $vm -StartupOrder @('IDE', 'CD', 'LegacyNetworkAdapter', 'Floppy')
    }

    if ($Tpm -eq 1 -and $PSCmdlet.ShouldProcess($VMName, 'Add a TPM whose key this host protects')) {
        try {
            Hyper-V\Set-VMKeyProtector -VM $vm -NewLocalKeyProtector
            Hyper-V\Enable-VMTPM -VM $vm
        } catch {
            # The guest starts without one.
            Write-Warning ('The virtual machine has no TPM, this host gave it none: {0}' -f $_)
        }
    }

    # The adapter that New-VM makes has a name in the language of the host; ours are made afresh.
    if ($PSCmdlet.ShouldProcess($VMName, 'Remove the default network adapter')) {
        Hyper-V\Get-VMNetworkAdapter -VM $vm | Hyper-V\Remove-VMNetworkAdapter
    }
    foreach ($adapter in $Adapters) {
        $target = $adapter['Target']
        if ($PSCmdlet.ShouldProcess($VMName, ('Add {0}, static MAC {1}, switch {2}' -f $adapter['Name'], $adapter['FixedMac'], $target))) {
            $settings = @{ VM = $vm; Name = $adapter['Name']; Passthru = $true }
            if ($adapter['FixedMac']) {
                $settings['StaticMacAddress'] = $adapter['FixedMac']
            }
            $card = Hyper-V\Add-VMNetworkAdapter @settings
            if ($target) {
                $switch = @($switches | Where-Object { $_.Name -eq $target })[0]
                Hyper-V\Connect-VMNetworkAdapter -VMNetworkAdapter $card -VMSwitch $switch
            }
        }
    }
    $done = $true
} finally {
    # Also after Ctrl+C. Remove-VM deletes the configuration only; the disk files stay.
    if (-not $done -and $null -ne $vm) {
        try {
            Hyper-V\Remove-VM -VM $vm -Force
            Write-Warning ('Not finished: the half-made virtual machine was removed again, its disk files were kept: {0}' -f $VMName)
        } catch {
            Write-Warning ('Not finished, and the half-made virtual machine could not be removed: {0}' -f $VMName)
        }
    }
}

# ---- Report. ----
if ($null -eq $vm) {
    Write-Output ('Nothing was changed. All checks passed for virtual machine {0}.' -f $VMName)
    return
}
Write-Output ('Made virtual machine {0}' -f $VMName)
Write-Output ('  generation {0}: {1}' -f $Generation, $GenerationReason)
Write-Output ('  Secure Boot {0}: {1}' -f $SecureBoot, $SecureBootReason)
Write-Output ('  {0} processors, {1} bytes of memory' -f $ProcessorCount, $MemoryBytes)
foreach ($disk in $Disks) {
    Write-Output ('  disk {0} {1}:{2} {3}' -f $disk['Controller'], $disk['Number'], $disk['Location'], $disk['Path'])
}
foreach ($adapter in $Adapters) {
    Write-Output ('  {0}: source network {1}, switch {2}, MAC {3}' -f $adapter['Name'], $adapter['Network'], $adapter['Target'], $adapter['Mac'])
}
if ($Start) {
    if ($PSCmdlet.ShouldProcess($VMName, 'Start')) {
        Hyper-V\Start-VM -VM $vm
        Write-Output 'Started. Next: watch the guest in VMConnect until it shows a login prompt.'
    }
} else {
    Write-Output 'Next: check the settings, take a checkpoint if you want a way back, and start it with Start-VM.'
}
