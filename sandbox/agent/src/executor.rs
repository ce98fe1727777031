//! How a process of `exec` becomes its program: under the container's seccomp profile, which libcontainer gives to the
//! container's first process only.

use libcontainer::oci_spec::runtime::{LinuxSeccomp, Spec};
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};

#[derive(Clone)]
pub(crate) struct Filtered {
    pub(crate) profile: Option<LinuxSeccomp>,
}

impl Executor for Filtered {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        self.profile.as_ref().map(install).transpose()?;
        DefaultExecutor {}.exec(spec)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        DefaultExecutor {}.validate(spec)
    }
}

#[cfg(feature = "seccomp")]
fn install(profile: &LinuxSeccomp) -> Result<(), ExecutorError> {
    use libcontainer::seccomp::initialize_seccomp;

    let failed =
        |what: &dyn std::fmt::Display| ExecutorError::Other(format!("linux.seccomp: {what}"));
    let listener = initialize_seccomp(profile).or_else(|_| {
        // By now the process has the container's capabilities. Without CAP_SYS_ADMIN it can have a filter only if it
        // gives up gaining others.
        rustix::thread::set_no_new_privs(true).map_err(|errno| failed(&errno))?;
        initialize_seccomp(profile).map_err(|error| failed(&error))
    })?;
    match listener {
        Some(_) => Err(failed(&"a listener is not supported")),
        None => Ok(()),
    }
}

#[cfg(not(feature = "seccomp"))]
fn install(_: &LinuxSeccomp) -> Result<(), ExecutorError> {
    let message = "linux.seccomp: this agent was built without it";
    Err(ExecutorError::Other(message.to_owned()))
}
