//! Makes the disks of recipes, all or those that are named, and prints where they are.

use test_windows_guests::{recipes, shared};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for recipe in
        recipes().iter().filter(|recipe| wanted.is_empty() || wanted.iter().any(|name| name == recipe.name))
    {
        for disk in shared(recipe).disks {
            println!("{}", disk.display());
        }
    }
}
