#!/usr/bin/env bash
# Uploads disks of a Windows machine converted by rehome to Amazon EC2, where VM Import/Export makes an image (AMI) of them:
# it puts Amazon's drivers into its copy and decides about the licence, neither of which an image has that is registered
# from snapshots. Needs the AWS command line with credentials, and the service role of VM Import/Export. The disks lie
# beside this script and are only read. Everything is checked before anything is made; when a step fails, what was made
# stays, and the script says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
# Such as eu-central-1.
REGION=${REGION:-}
# An existing S3 bucket in that region, and the folder in it.
BUCKET=${BUCKET:-}
PREFIX=${PREFIX:-rehome}
# AWS: Amazon's licence in the place of the source's, paid by the hour, for Windows Server. BYOL: the licence of the source,
# which has to allow that.
LICENSE_TYPE=${LICENSE_TYPE:-}
# The service role of VM Import/Export.
ROLE_NAME=${ROLE_NAME:-vmimport}
# Seconds between two looks at an import.
POLL_SECONDS=${POLL_SECONDS:-15}
