//! Where a code host looks for a file: from the root of the repository, whichever folder of it was audited.

use std::path::Path;

/// What stands before the paths of a folder, as its code host knows them: the way from the top of the work tree (the folder
/// that holds `.git`), else from the current folder; nothing for a folder that lies elsewhere.
pub(super) fn prefix(root: &Path) -> String {
    let is_top = |folder: &&Path| folder.join(".git").exists();
    let here = || std::env::current_dir().and_then(|folder| folder.canonicalize()).ok();
    let top = root.ancestors().find(is_top).map(Path::to_owned).or_else(here);
    let way = top.as_deref().and_then(|top| root.strip_prefix(top).ok());
    match way.map(|way| way.to_string_lossy().replace('\\', "/")) {
        Some(way) if !way.is_empty() => way + "/",
        _ => String::new(),
    }
}
