"""A program for each Python driver of the matrix: it runs steps and prints what they gave, and judges nothing."""
