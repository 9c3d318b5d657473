"""Labels: the label file, data sets of labelled clips, other tools' formats, checks."""
