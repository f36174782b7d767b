@echo off
rem Written by rehome, and started once by the service rehome-firstboot: does what only the running Windows
rem can do after its move, then removes the service and this folder. Its log stays.
setlocal EnableExtensions DisableDelayedExpansion
if not defined SystemRoot exit 1
set "PATH=%SystemRoot%\System32"
set "PATHEXT=.COM;.EXE"
set "home=%SystemRoot%\rehome"
set "logs=%SystemRoot%\Logs\rehome"
if not exist "%logs%\" mkdir "%logs%"
cd /d "%SystemRoot%\System32"
rem Whoever has the log open is the one that runs: nobody else can open it for writing.
call :main <nul >>"%logs%\firstboot.log" 2>&1
exit

:main
call :wait_for_setup
if defined setup call :say "Windows Setup still runs: to be continued at the next start"
if defined setup exit /b 0
call :count starts
call :say "start %number% in the new place"
ver
if %number% gtr 6 goto give_up
set "again="
set "restart="
set "halt="
for /f "delims=" %%s in ('dir /b /on "%home%\firstboot\*.cmd" 2^>nul') do call :step "%%s"
if defined restart call :restart
if defined again goto later
if defined restart goto later
call :say "all is done: the service and its folder go, this log stays"
goto remove

:later
call :say "to be continued at the next start"
exit /b 0

:give_up
call :say "gave up: the steps that are left in %home%\firstboot were not done"
sc.exe delete rehome-firstboot
exit

:remove
sc.exe delete rehome-firstboot
rem This file is in use until its cmd.exe ends.
start "rehome" /b cmd.exe /d /c "ping.exe -n 4 127.0.0.1 >nul & rd /s /q "%home%""
exit

rem A restart during Windows Setup (after sysprep) would break it. An hour at most; it is no start that counts.
:wait_for_setup
set "setup=1"
for /l %%i in (1,1,360) do call :look_at_setup %%i
exit /b 0

:look_at_setup
if not defined setup exit /b 0
set "setup="
reg.exe query "HKLM\SYSTEM\Setup" /v SystemSetupInProgress 2>nul | find.exe "0x1" >nul
if not errorlevel 1 set "setup=1"
if not defined setup exit /b 0
if "%1"=="1" call :say "Windows Setup runs: what is left waits for its end"
ping.exe -n 11 127.0.0.1 >nul
exit /b 0

rem A step ends with 249: again at the next start; 250: done, and Windows must restart; 251: it, and those
rem behind it, after a restart.
:step
if defined halt exit /b 0
call :say "step %~n1"
cmd.exe /d /c "%home%\firstboot\%~1"
set "code=%errorlevel%"
call :say "step %~n1 ended with %code%"
if "%code%"=="251" set "restart=1"
if "%code%"=="250" set "restart=1"
if "%code%"=="251" set "again=1"
if "%code%"=="251" set "halt=1"
if "%code%"=="249" set "again=1"
if "%code%"=="251" exit /b 0
if "%code%"=="249" exit /b 0
ren "%home%\firstboot\%~1" "%~n1.done"
exit /b 0

:restart
call :count restarts
if %number% gtr 3 goto no_restart
call :say "restart %number%"
shutdown.exe /r /t 10 /c "rehome: first start in the new place"
exit /b 0
:no_restart
call :say "a restart is wanted and left to a person: there were 3"
set "restart="
exit /b 0

rem What cannot be counted is too much.
:count
set "number=0"
set "written="
if exist "%home%\%~1.txt" set /p number=<"%home%\%~1.txt"
set /a number+=1
>"%home%\%~1.txt" echo %number%
set /p written=<"%home%\%~1.txt"
if not "%written%"=="%number%" set "number=99"
exit /b 0

:say
echo [%DATE% %TIME%] %~1
exit /b 0
