//! The examples are in `examples/`; this library target only lets cargo find the package.
