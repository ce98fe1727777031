//! Modules of the guest's kernel, where it has not everything built in: those that the initial ramdisk holds.

use std::fs::{self, File};
use std::io::ErrorKind;

use rustix::io::Errno;

use crate::error::AgentError;

/// Has `<name>.ko` for each line of its file `order`, each module after those it needs.
const FOLDER: &str = "/modules";

/// Before the ramdisk is left. Without the folder there is nothing to do.
pub(crate) fn load() -> Result<(), AgentError> {
    let order = format!("{FOLDER}/order");
    let names = match fs::read_to_string(&order) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(AgentError::step("read", order)(error)),
    };
    for name in names.lines() {
        let path = format!("{FOLDER}/{name}.ko");
        let file = File::open(&path).map_err(AgentError::step("open", &*path))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(AgentError::step("load", path)(errno)),
        }
        // The ramdisk is memory.
        fs::remove_file(&path).ok();
    }
    Ok(())
}
