# Rscript mice.R HOLES.csv FILLED.csv M SEED: the mean of m imputations by predictive mean matching.
suppressMessages(library(mice))
given <- commandArgs(TRUE)
data <- read.csv(given[1])
m <- as.integer(given[3])
imputations <- suppressWarnings(mice(data, m = m, method = "pmm", seed = as.integer(given[4]), printFlag = FALSE))
completed <- lapply(seq_len(m), function(i) as.matrix(complete(imputations, i)))
write.csv(Reduce(`+`, completed) / m, given[2], row.names = FALSE)
