// Package secrets tests that pass phrases and private keys are nowhere but where
// they must be: it plants some, lets real programs work with them, and then
// searches all that these have written, said and had in memory. What is not
// secret is planted too, and must be found by the same search.
package secrets
