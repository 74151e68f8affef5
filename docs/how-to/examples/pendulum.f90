! A pendulum: what a simulation in Fortran logs.
!
!     gfortran $(hpctrack cflags --fortran --c-source) pendulum.f90 -o pendulum
!     srun -n 4 hpctrack run --project swing -- ./pendulum
program pendulum
   use hpctrack
   implicit none
   integer, parameter :: dp = kind(1.0d0), steps = 300
   real(dp), parameter :: dt = 0.01_dp, gravity = 9.81_dp
   real(dp) :: angle, speed
   integer :: step

   angle = 0.5_dp
   speed = 0.0_dp
   call hpct_init()
   do step = 1, steps
      speed = speed - dt*gravity*sin(angle)
      angle = angle + dt*speed
      call hpct_log("angle", step, angle)
      call hpct_log([character(len=16) :: "energy/kinetic", "energy/potential"], step, &
         [0.5_dp*speed**2, gravity*(1 - cos(angle))])
      if (hpct_should_stop()) exit
   end do
   call hpct_finish()
end program pendulum
