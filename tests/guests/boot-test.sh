# What `rehome boot-test` says of real guests. Sourced by run.sh.
# shellcheck shell=bash disable=SC2154  # run.sh has the variables

boot_tested() { # NAME EXIT RULE COMMAND...: and its verdict's rule
    local name=$1 code=0
    "${@:4}" --output json >"$logs/$name.json" 2>"$logs/$name.log" || code=$?
    [[ $code -eq $2 && $(jq -r '.boot_test // . | .rule' "$logs/$name.json") == "$3" ]] ||
        { tail -n 60 "$logs/$name.json" "$logs/$name.log" >&2; fail "$name: exit $code, wanted $2 by the rule $3"; }
}

# The source starts on EC2's controller and not on Hyper-V's; what is migrated does.
check_boot_test() {
    sources_of bios
    boot_tested bios-boot-test-source 0 login-prompt "$rehome" boot-test "${sources[@]}" --target aws --firmware bios --out "$work/source-test"
    boot_tested bios-boot-test-before 1 initramfs-no-root "$rehome" boot-test "${sources[@]}" --target hyperv-gen1 --out "$work/before-test"
    boot_tested bios-boot-test-after 0 login-prompt rehome_migrate bios "${sources[@]}" --out "$work/after-test" --boot-test
}
