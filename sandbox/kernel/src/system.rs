//! Host name and domain name of the container.

#[derive(Clone, Debug, Default)]
pub struct Names {
    pub host: String,
    pub domain: String,
}
