# What R says of missing data: Rscript missing_data.R FOLDER ANSWERS.json
#
# For every CSV file in the folder: mice's patterns, pairs and flux, VIM's counts, Welch's tests by t.test(), and
# Little's statistic in a few lines of its own from lavaan's EM moments.
suppressMessages({
  library(mice)
  library(VIM)
  library(lavaan)
  library(jsonlite)
})

little <- function(data) {
  y <- as.matrix(data)
  y <- y[rowSums(!is.na(y)) > 0, ]
  moments <- lavaan:::lav_mvnorm_missing_h1_estimate_moments(
    Y = y, Mp = lavaan:::lav_data_missing_patterns(y, sort.freq = FALSE), tol = 1e-11, max.iter = 100000
  )
  key <- apply(!is.na(y), 1, function(seen) paste(as.integer(seen), collapse = ""))
  statistic <- 0
  df <- -ncol(y)
  for (k in unique(key)) {
    seen <- strsplit(k, "")[[1]] == "1"
    rows <- y[key == k, seen, drop = FALSE]
    gap <- colMeans(rows) - moments$Mu[seen]
    statistic <- statistic + nrow(rows) * sum(gap * solve(moments$Sigma[seen, seen], gap))
    df <- df + sum(seen)
  }
  list(chisq = statistic, df = df, pvalue = pchisq(statistic, df, lower.tail = FALSE))
}

welch <- function(data) {
  rows <- list()
  for (by in names(data)) {
    hole <- is.na(data[[by]])
    if (!any(hole)) next
    for (name in setdiff(names(data), by)) {
      lack <- na.omit(data[[name]][hole])
      have <- na.omit(data[[name]][!hole])
      test <- tryCatch(t.test(lack, have), error = function(e) NULL)
      if (is.null(test)) next
      rows[[length(rows) + 1]] <- list(
        missing = by, variable = name, t = unname(test$statistic), df = unname(test$parameter), pvalue = test$p.value
      )
    }
  }
  rows
}

answer <- function(file) {
  data <- read.csv(file)
  pattern <- md.pattern(data, plot = FALSE)
  counted <- aggr(data, plot = FALSE)
  body <- pattern[-nrow(pattern), , drop = FALSE]
  list(
    pattern_names = head(colnames(pattern), -1), pattern = unname(body), pattern_n = as.integer(rownames(body)),
    pairs = lapply(md.pairs(data), unname), flux = flux(data), vim_counts = counted$count,
    vim_patterns = counted$tabcomb, vim_missing = counted$missings$Count, little = little(data), welch = welch(data)
  )
}

arguments <- commandArgs(trailingOnly = TRUE)
files <- list.files(arguments[1], pattern = "[.]csv$", full.names = TRUE)
answers <- lapply(files, answer)
names(answers) <- sub("[.]csv$", "", basename(files))
packages <- c("mice", "VIM", "lavaan")
versions <- setNames(lapply(packages, function(name) as.character(packageVersion(name))), packages)
text <- toJSON(list(versions = versions, answers = answers), auto_unbox = TRUE, digits = 15, na = "null", dataframe = "columns")
writeLines(text, arguments[2])
