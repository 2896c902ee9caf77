//! What a prototype's test has caught, each with the steps that make it.
