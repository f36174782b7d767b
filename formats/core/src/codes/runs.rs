//! Runs themselves: requests, proofs, boot tests, batches, and our bugs.

use super::{Code, Stage, active_image, codes};
use crate::ErrorKind;

codes! { LIST;
    USAGE = "RH-USAGE", Usage, Request,
        "the command line or a file that belongs to it asks for what makes no sense",
        "read the message; rehome COMMAND --help shows examples";
    INTERRUPTED = "RH-INTERRUPTED", Temporary, Copy,
        "the run was stopped by a signal",
        "run the same command again: it goes on where it can";
    TEMPORARY = "RH-TEMPORARY", Temporary, Copy,
        "something is in the way that will go away",
        "wait a little, then run the same command again";
    NEEDS_PERSON = "RH-NEEDS-PERSON", NeedsPerson, Plan,
        "a person has to decide or to do something first",
        "the hint of the message is the next step";
    BUG = "RH-BUG", Contract, Copy,
        "rehome broke a rule of its own; nothing was finished under its final name",
        "report it with the support bundle: rehome support-bundle",
        [active_image("-999", None)];
    VERIFY_FAILED = "RH-VERIFY-FAILED", Mismatch, Verify,
        "what was written is not what was read plus the planned changes, or a manifest tells of other content",
        "do not use the image; look at memory, cables and kernel log, and convert again";
    DIFFERENT = "RH-DIFFERENT", Mismatch(1), Verify,
        "two disks that were compared are not the same",
        "rehome diff lists where";
    EVIDENCE = "RH-EVIDENCE", Mismatch, Verify,
        "the chain of custody does not hold: lines are missing, changed, or of another log",
        "compare it with the hash that was noted elsewhere";
    DATA_LOST = "RH-DATA-LOST", Mismatch(1), Copy,
        "the copy is complete but for ranges that the source could not give, which are zeros",
        "the mapfile lists them; run again with the same --mapfile when the device answers";
    BOOT_FAILED = "RH-BOOT-FAILED", Mismatch(1), BootTest,
        "the guest does not come up from the written disks",
        "look at boot-test.json, serial.log and screen.png: the verdict names the line that decided";
    BOOT_UNDECIDED = "RH-BOOT-UNDECIDED", NeedsPerson, BootTest,
        "nothing that the guest showed decides whether it came up",
        "look at screen.png, or give more time with --timeout";
    JOB_FILE = "RH-JOB-FILE", Usage, Batch,
        "the job file cannot be understood",
        "line and column are in the message; rehome batch schema prints what is allowed";
    JOB_CONFLICT = "RH-JOB-CONFLICT", Usage, Batch,
        "two jobs would write the same file",
        "give each job an output of its own";
    JOB_FAILED = "RH-JOB-FAILED", Mismatch(1), Batch,
        "one job or more of the batch failed",
        "rehome batch status lists them; rehome batch retry --failed runs them again";
    JOB_HELD = "RH-JOB-HELD", NeedsPerson, Batch,
        "a job waits for a person",
        "do what its error says, then rehome batch retry";
    JOB_CRASHED = "RH-JOB-CRASHED", Contract, Batch,
        "the process of a job was killed or ended without saying why",
        "look at the job's log and at the kernel's for the out-of-memory killer";
    JOB_TIMEOUT = "RH-JOB-TIMEOUT", Temporary, Batch,
        "a job took longer than it was given",
        "raise the limit, or run fewer jobs at a time";
    TOO_MANY_FAILED = "RH-TOO-MANY-FAILED", Temporary, Batch,
        "the batch stopped because as many jobs failed as --max-failures allows",
        "look at the first failures: they often have one cause";
    LEASE_HELD = "RH-LEASE-HELD", Temporary, Batch,
        "another run owns the job",
        "nothing, if it is alive; its lease ends by itself when it is not renewed";
    LEASE_LOST = "RH-LEASE-LOST", Temporary, Batch,
        "another run took the job over while this one was working: its result is left to that one",
        "nothing; look why this host stood still if it happens often";
    STATE_FOLDER = "RH-STATE-FOLDER", Destination, Batch,
        "the folder of a batch's state is of another job file or another version, or cannot be read",
        "name another folder with --state, or finish that batch first";
}
