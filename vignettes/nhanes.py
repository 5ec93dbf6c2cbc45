# %% [markdown]
# # From a table with holes to a report
#
# NHANES 2017-2018 measured adults' weight, waist and blood pressure, and not everybody has every value: some
# did not come to the examination, some cuffs failed. The bundled extract keeps the holes as CDC published
# them. It is used unweighted here: what follows describes the persons in the extract, not a population.

# %%
import fosa_sem as fs

data = fs.datasets.load_nhanes()
model = """
# what the readings have in common
adiposity =~ waist + bmi + weight
systolic  =~ systolic1 + systolic2 + systolic3

# who has it
adiposity ~ age + female
systolic  ~ a*adiposity + c*age + female
age       ~~ female

# waist and weight differ by sex and age at equal adiposity
waist + weight ~ age + female

# through adiposity, and in all
hba1c ~ b*adiposity + age + female
"""

# %% [markdown]
# ## What is missing where
#
# `fixed_x=False` gives age and sex a distribution, so that no row is dropped and every variable could be filled.
# (Writing `age ~~ female` does the same for these two, which is why it is not needed twice.)

# %%
fit = fs.sem(model, data, fixed_x=False)
print(fit.patterns()[0].head(8).to_string())
print(f"{fit.nobs} rows, {fit.npatterns_by_group[0]} patterns of missing values")

# %% [markdown]
# ## The fit
#
# Full-information maximum likelihood uses every observed value. The standard errors come from the observed
# information, the chi-square compares with the saturated moments found by EM.

# %%
print(fit.summary())

# %% [markdown]
# The audit at its end says whether the optimiser found a maximum, by our own derivatives: the scaled gradient is
# twice the log-likelihood that is still to gain.

# %%
print(fit.fit_measures(["chisq", "df", "cfi", "rmsea", "srmr"]).round(3))
print(fit.standardized_solution().query("op == '~'").round(3).to_string())

# %% [markdown]
# ## Filling the holes
#
# Each missing cell gets its conditional expectation given what is observed in its row, with a standard deviation.

# %%
completion = fit.impute()
row, column = 2, completion.variables.index("systolic1")
print(completion.to_frame().head(3).to_string())
print(f"mean of the conditional SD over filled cells: {completion.sd[~completion.observed].mean():.2f}")

# %% [markdown]
# ## Refining them
#
# The refiner hides further observed cells, learns what the linear model misses, and keeps a correction only for
# variables in which held-out cells show a gain. These options make it small and quick. The evaluation hides a
# tenth of the observed cells, refits everything without them, and scores the column mean, the SEM and the refined
# values on the same cells.

# %%
config = fs.RefinerConfig(
    heads=2, width=16, layers=1, folds=2, epochs=30, check_every=10, dropout=0.0, learning_rate=0.02,
    rows_per_epoch=1024, batch_size=256, seed=1,
)  # fmt: skip
imputer = fs.FosaImputer(model, refiner=config)
completed = imputer.fit_transform(data)
imputer.evaluate(seeds=(1,))
print(imputer.metrics_.query("variable == 'overall'").round(3).to_string())
print(imputer.refiner_.gates.round(3).to_string())

# %% [markdown]
# ## The report

# %%
print(f"written: {imputer.report('nhanes_report.html')}")
