//! The `rehome` binary.

fn main() -> std::process::ExitCode {
    rehome_cli::main()
}
