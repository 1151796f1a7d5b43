//! zdtm runner
