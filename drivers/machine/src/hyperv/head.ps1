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
