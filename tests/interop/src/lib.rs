//! rehome's writers judged by qemu-img, its readers by images other tools made.
