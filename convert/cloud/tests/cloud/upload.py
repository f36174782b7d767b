"""Puts a disk into a snapshot of moto, in its blocks of 512 bytes, and starts an instance: prints both ids.

upload.py ENDPOINT DISK
"""
import base64
import hashlib
import sys

import boto3

BLOCK = 512
keys = dict(endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
ebs, ec2 = boto3.client("ebs", **keys), boto3.client("ec2", **keys)
snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
changed = 0
with open(sys.argv[2], "rb") as disk:
    for index, block in enumerate(iter(lambda: disk.read(BLOCK), b"")):
        if any(block):
            checksum = base64.b64encode(hashlib.sha256(block).digest()).decode()
            ebs.put_snapshot_block(
                SnapshotId=snapshot, BlockIndex=index, BlockData=block, DataLength=BLOCK, Checksum=checksum, ChecksumAlgorithm="SHA256"
            )
            changed += 1
ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=changed)
image = ec2.describe_images()["Images"][0]["ImageId"]
instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.small")["Instances"][0]
print(snapshot, instance["InstanceId"])
