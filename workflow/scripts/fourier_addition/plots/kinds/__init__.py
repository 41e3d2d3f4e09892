"""Kinds of figures: results of jobs in, a figure and the table of what it draws out.

One module a script family, with one function for each kind and the dictionary `DRAWINGS`: kind -> function.
"""
